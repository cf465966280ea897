"""`spendguard doctor`: what is wrong, why it is thought so, and what to type next."""
