package player

import "time"

// coarse is how late a request may go out before the delay counts as latency:
// what the robot's own clock cannot do better is no fault of the server.
const coarse = 2 * time.Millisecond

// pace spaces a robot's requests: a new one for each that is done (closed loop),
// after some thinking if that is asked for, or so many a second whatever becomes
// of them (open loop).
type pace struct {
	send func(due time.Duration)
	free int           // requests that may still be added to those under way
	gap  time.Duration // between two requests; 0: closed loop
	next time.Duration // when the next is due, with gap
	wait alarm         // for next
	set  bool          // wait is
}

// Pace has the robot call send whenever it is to send a request: InFlight times
// at first and once more for every Again, Think later; or, with a Rate, that often,
// as long as no more than InFlight are under way. due is the time from which the
// request's latency counts: one that had to wait for its turn was due earlier
// than it is sent. Once per robot, before it begins.
func (r *Robot) Pace(send func(due time.Duration)) {
	p := &r.pace
	p.send, p.free = send, r.run.InFlight
	p.wait = alarm{robot: r, ring: func() { p.set = false; r.pump() }}
	if r.run.Rate > 0 {
		p.gap = time.Duration(float64(time.Second) / r.run.Rate)
	}
}

// Again tells that a request of Pace is done: another may follow.
func (r *Robot) Again() {
	if r.thinks() {
		r.After(r.run.Think/2+r.upTo(r.run.Think), r.again)
		return
	}
	r.again()
}

func (r *Robot) again() {
	r.pace.free++
	r.pump()
}

func (r *Robot) thinks() bool { return r.run.Think > 0 && r.run.Rate == 0 }

// upTo is a random time from 0 to d.
func (r *Robot) upTo(d time.Duration) time.Duration { return time.Duration(r.Rand().Int64N(int64(d))) }

// Hold takes one of the requests that Pace has left, for one that is asked again
// in OnReturn.
func (r *Robot) Hold() { r.pace.free-- }

// beginPace sends the first requests. Robots with a rate begin spread over the
// time between two requests.
func (r *Robot) beginPace() {
	p := &r.pace
	p.next = r.Now()
	if p.gap > 0 {
		p.next += p.gap * time.Duration(r.Index) / time.Duration(max(r.run.Robots, 1))
	}
	r.goOn()
}

// goOn sends what there is to send. Robots that think begin spread over the time
// between two requests. With a rate, what was due while the robot was away is
// late.
func (r *Robot) goOn() {
	p := &r.pace
	if r.thinks() && p.send != nil {
		for range p.free {
			r.After(r.upTo(r.run.Think), r.again)
		}
		p.free = 0
		return
	}
	r.pump()
}

// pump sends what is due and sets the alarm for what is not.
func (r *Robot) pump() {
	p := &r.pace
	for p.send != nil && p.free > 0 && r.plays {
		now := r.Now()
		if p.gap == 0 {
			p.next = now
		} else if p.next > now {
			if !p.set {
				p.set = true
				r.run.Wheel.set(&p.wait, p.next)
			}
			return
		}
		due := p.next
		if now-due < coarse {
			due = now
		}
		p.next += p.gap
		p.free--
		p.send(due)
	}
}
