"""What a reader sees of a study or a table: one web page, pictures, and files of figures."""
