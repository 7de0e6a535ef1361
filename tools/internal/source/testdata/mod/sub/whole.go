// Whole is lifted as a whole.
//
//perigee:allow a demonstration

package sub
