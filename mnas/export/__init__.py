"""TFLite files, checked before they are written."""
