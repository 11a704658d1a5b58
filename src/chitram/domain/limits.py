"""The names of the budgets that rate limits keep apart."""

UPLOAD = "upload"
VERIFY = "verify"
SIMILAR = "similar"
