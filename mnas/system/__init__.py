"""The operating system: files, processes, remote folders, plugins and log output."""
