"""What stands between the web and the page: connections, requests, visitors, queues, uploads."""
