"""What topic models share: documents as counts, vocabularies, and the words and the quality of topics."""
