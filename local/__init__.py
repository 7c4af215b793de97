"""What a person or a program does on this machine: the command line, local jobs and endpoints."""
