"""Pictures that the tests make for themselves: same arguments, same bytes."""
