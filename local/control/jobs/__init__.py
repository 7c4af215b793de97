"""Jobs: what runs and ends. Their folders are the truth about them."""
