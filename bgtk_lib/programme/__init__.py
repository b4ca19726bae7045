"""What a programme added: groups, design, balance, effect; never a claim stronger than the design."""
