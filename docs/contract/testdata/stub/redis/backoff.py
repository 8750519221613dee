class NoBackoff:
    pass
