"""The web page: `serve` opens it, `Settings` says for what, to whom and within which bounds."""

from hqgan.app.serving import serve as serve
from hqgan.app.settings import Settings as Settings
