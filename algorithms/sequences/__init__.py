"""What algorithms of token sequences share: ragged ids, buckets, vocabularies, recurrences, tables of
embeddings and requests of instances. It knows none of these algorithms."""
