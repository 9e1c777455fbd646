"""Writing, reading and running TFLite files without TensorFlow."""
