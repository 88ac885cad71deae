"""Vectors of videos in a file, and looking for the nearest."""

from reelvec.embeddings.contact_sheet import write_contact_sheet
from reelvec.embeddings.embed import embed
from reelvec.embeddings.search import search
from reelvec.embeddings.table import Embeddings, open_embeddings

__all__ = ["Embeddings", "embed", "open_embeddings", "search", "write_contact_sheet"]
