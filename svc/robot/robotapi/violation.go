package robotapi

// Kinds of violations: which promise was broken.
const (
	ReplyMissing   = "reply missing"
	ReplyDoubled   = "reply doubled"
	ReplyReordered = "reply out of order"
	ReplyWrong     = "reply wrong" // not what was asked for, or to nothing that was asked

	ChangeLost    = "change lost"       // it was acknowledged, and is not there
	ChangeDoubled = "change doubled"    // there is more than was acknowledged
	Money         = "money"             // there is more or less than was earned and paid
	Ledger        = "ledger"            // it tells something else than the player was told
	History       = "history"           // it tells something else than was heard
	LineMissing   = "line missing"      // of chat
	LineDoubled   = "line doubled"      //
	LineReordered = "line out of order" // of one sender
	LineWrong     = "line wrong"        // nobody said it, or to somebody else

	CloseUnexplained = "close unexplained"
)

// Violation is a broken promise: what a robot was told is not what it was due.
type Violation struct {
	Kind     string  `json:"kind"`
	Robot    string  `json:"robot"` // its uid
	At       float64 `json:"at"`    // seconds since the robots began
	Expected string  `json:"expected"`
	Seen     string  `json:"seen"`
}
