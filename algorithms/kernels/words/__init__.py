"""Words in a window and bags of words: word2vec and the classifier of BlazingText."""
