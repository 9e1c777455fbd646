"""Devices that measure a .tflite file."""
