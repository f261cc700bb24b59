"""Files that `hqgan export` copies beside what it writes: numpy alone, no torch, nothing of ours."""
