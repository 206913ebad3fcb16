"""What a value must be before it may go where it is going. One package for each kind."""
