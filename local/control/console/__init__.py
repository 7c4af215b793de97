"""The console: what runs, and what has run, as pages for people."""
