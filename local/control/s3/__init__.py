"""S3 of our own: contents are files, keys stand in the database."""
