"""UnionPay: card host link."""
