def render_comparison(comparison):
    return ""
