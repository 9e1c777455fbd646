"""What mnas needs of the operating system: files, processes, and what runs beside it."""
