"""What kernels stand on: vectors, tiles, threads, draws, staging."""
