"""The services of AWS that are answered, an operation a function."""
