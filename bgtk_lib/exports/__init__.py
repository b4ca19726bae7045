"""What leaves the office: de-identified answers for a named recipient, under a recorded assessment and agreement."""
