"""What lives in a transaction, one repository a noun."""
