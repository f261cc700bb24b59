"""A trained generator on noisy and real quantum computers, with a journal of paid jobs."""
