"""What mnas needs of the machine and its files, under everything else."""
