"""What is kept: one contract (`database`) and the drivers behind it."""
