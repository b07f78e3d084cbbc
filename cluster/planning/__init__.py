"""What a corpus build and a pretraining run will need, before anything is booked."""
