class Reel: pass
