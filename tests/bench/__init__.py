"""The measurement itself: that it runs, refuses what is wrong and writes what it found."""
