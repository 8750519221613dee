class Retry:
    def __init__(self, backoff, retries):
        self._retries = retries
