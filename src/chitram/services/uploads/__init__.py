"""Uploading: understand, keep, record. ARCHITECTURE: bytes are durable before the row that names them exists."""

from chitram.services.uploads.repeats import Hold
from chitram.services.uploads.use_case import UploadPolicy, Uploads

__all__ = ["Hold", "UploadPolicy", "Uploads"]
