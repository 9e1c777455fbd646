"""Where a .tflite file can be measured."""
