"""The edge: what platforms send becomes canonical orders, members and activities."""
