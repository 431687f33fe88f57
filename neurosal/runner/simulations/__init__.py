"""What `simulate` is made of: what is recorded, the engines behind one interface, and the way into a record."""
