"""Files that `hqgan export` copies beside what it writes: in numpy, without torch or hqgan."""
