def write_chaos(*a, **k): pass
def read(p): return []
