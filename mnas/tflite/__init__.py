"""TFLite files, written, read and run without TensorFlow."""
