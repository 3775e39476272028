package node

// Opening returns the node of a configuration as it is while Open has not ended.
func Opening(cfg Config) *Node { return &Node{cfg: cfg} }
