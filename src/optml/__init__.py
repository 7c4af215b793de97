"""optml: the built-in algorithms of Amazon SageMaker as open containers."""
