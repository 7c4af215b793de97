"""Images as bytes: what a header says, pixels, records of `.rec` files, rows of `.lst` files."""
