"""Operations of S3: from a call to its answer."""
