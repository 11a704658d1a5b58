"""What the bytes of each picture format say, read without decoding a single pixel."""
