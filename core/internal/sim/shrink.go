package sim

import (
	"slices"
	"time"
)

// Shrink makes a plan that fails shorter, as long as it still fails, with at most
// budget runs: the end goes, then what happens before it, in halves, quarters and
// so on; then the quiet hours. Whatever goes changes the course of chance, so a
// plan counts as failing if it does with one of a few.
func Shrink(p Plan, budget int, fails func(Plan) bool) Plan {
	try := func(q Plan) bool {
		for q.Luck = 0; q.Luck < lucks && budget > 0; q.Luck++ {
			budget--
			if fails(q) {
				p = q
				return true
			}
		}
		return false
	}
	for lo, hi := 0, len(p.Calms); lo < hi; { // the first calm that shows it
		mid := (lo + hi) / 2
		if mid < len(p.Calms) && try(p.until(p.Calms[mid])) {
			hi = mid
		} else {
			lo = mid + 1
		}
	}
	for again := true; again && budget > 0; {
		again = false
		for size := max(len(p.Ops)/2, 1); ; size /= 2 {
			for at := 0; at < len(p.Ops) && budget > 0; {
				if try(p.without(at, min(at+size, len(p.Ops)))) {
					again = size == 1 || again
				} else {
					at += size
				}
			}
			if size <= 1 || budget <= 0 {
				break
			}
		}
	}
	for i := range p.Ops {
		if q, ok := p.sooner(i); ok {
			try(q)
		}
	}
	return p
}

// lucks is with how many courses of chance a plan is tried.
const lucks = 6

// until ends a plan at a calm.
func (p Plan) until(end time.Duration) Plan {
	p.Horizon = end
	p.Calms = slices.DeleteFunc(slices.Clone(p.Calms), func(c time.Duration) bool { return c >= end })
	p.Ops = slices.DeleteFunc(slices.Clone(p.Ops), func(o Op) bool { return o.At >= end })
	return p
}

func (p Plan) without(from, to int) Plan {
	p.Ops = slices.Delete(slices.Clone(p.Ops), from, to)
	p.Calms = slices.DeleteFunc(slices.Clone(p.Calms), func(c time.Duration) bool {
		return len(p.Ops) == 0 || c < p.Ops[0].At // nothing has happened by then
	})
	return p
}

// sooner brings an op, and all that follows, near to what was before it. The
// calms between go. It reports false if nothing is to be gained.
func (p Plan) sooner(i int) (Plan, bool) {
	before, room := time.Duration(0), time.Second
	if i > 0 {
		before, room = p.Ops[i-1].At, Settle
	}
	from := p.Ops[i].At
	by := from - before - room
	if by <= 0 {
		return p, false
	}
	p.Horizon -= by
	p.Ops = slices.Clone(p.Ops)
	for j := i; j < len(p.Ops); j++ {
		p.Ops[j].At -= by
	}
	calms := p.Calms
	p.Calms = nil
	for _, c := range calms {
		switch {
		case c >= from:
			p.Calms = append(p.Calms, c-by)
		case c <= before:
			p.Calms = append(p.Calms, c)
		}
	}
	return p, true
}
