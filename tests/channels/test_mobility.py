import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import kstest

from channels.mobility import Reflected, Still, Straight, uniform_in
from channels.waypoint import Legs, RandomWaypoint, Waypoints, way_at, way_length

RING = (10.0, 250.0)
LAWS = [Still(), Straight(3.0, 30.0), RandomWaypoint(5.0, 30.0), RandomWaypoint(5.0, 30.0, pause=4.0)]
MOVING = LAWS[1:]
BOTH = [pytest.param(law, id=repr(law)) for law in LAWS]
TIMES = np.concatenate([[0.0], np.geomspace(0.01, 3000, 60)])


def places(rng, devices, ring=RING):
    return uniform_in(ring, rng.random((devices, 2)))


def distances(position):
    return np.hypot(position[:, 0], position[:, 1])


@pytest.mark.parametrize("law", BOTH)
@pytest.mark.parametrize("ring", [RING, (200.0, 250.0), (1e-4, 100.0)])
def test_nobody_leaves_the_ring(rng, law, ring):
    motion = law.start(rng, places(rng, 50, ring), ring)
    for time in TIMES:
        far = distances(motion.at(time)[0])
        assert np.all((far >= ring[0] * (1 - 1e-9)) & (far <= ring[1] * (1 + 1e-9)))


@pytest.mark.parametrize("law", BOTH)
def test_a_position_is_a_function_of_time_whatever_the_order_and_number_of_calls(rng, law):
    start, seed = places(rng, 7), 5
    forth, back = (law.start(np.random.default_rng(seed), start, RING) for _ in range(2))
    first = [forth.at(time) for time in TIMES]
    for time, once in reversed(list(zip(TIMES, first, strict=True))):
        for other in (back, forth, law.start(np.random.default_rng(seed), start, RING)):
            for a, b in zip(once, other.at(time), strict=True):
                assert_array_equal(a, b)


@pytest.mark.parametrize("law", BOTH)
def test_a_way_does_not_depend_on_who_else_is_there(rng, law):
    start = places(rng, 9)
    many, few = (law.start(np.random.default_rng(1), start[:devices], RING) for devices in (9, 4))
    for time in TIMES[::10]:
        assert_array_equal(many.at(time)[0][:4], few.at(time)[0])


@pytest.mark.parametrize("law", BOTH)
def test_a_motion_begins_where_the_devices_stand(rng, law):
    start = places(rng, 20)
    position, _, travelled = law.start(rng, start, RING).at(0.0)
    assert_allclose(position, start, atol=1e-10)
    assert_array_equal(travelled, 0)


@pytest.mark.parametrize("law", BOTH)
def test_velocity_is_the_slope_of_the_position_and_speed_that_of_the_way(rng, law):
    """But for the few devices that are just then reflected, or at a target."""
    motion, step = law.start(rng, places(rng, 200), RING), 1e-4
    for time in (3.0, 50.0, 700.0):
        (a, v, s), (b, _, t) = motion.at(time), motion.at(time + step)
        smooth = distances((b - a) / step - v) < 1e-2 * np.maximum(distances(v), 1e-3)
        assert np.mean(smooth) > 0.98
        assert_allclose(((t - s) / step)[smooth], distances(v)[smooth], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("law", MOVING)
def test_the_way_is_the_integral_of_the_speed(rng, law):
    """The sum of small steps, which corners can only shorten, and the midpoint rule over the speed."""
    motion, steps, step = law.start(rng, places(rng, 8), RING), 6000, 0.01
    position = np.array([motion.at(i * step)[0] for i in range(steps + 1)])
    speed = np.array([distances(motion.at((i + 0.5) * step)[1]) for i in range(steps)])
    travelled = motion.at(steps * step)[2]
    walked = np.sum(np.hypot(*np.moveaxis(np.diff(position, axis=0), -1, 0)), 0)
    corners = 20                                         # in a minute, of 0.3 m at most each
    assert np.all((walked <= travelled * (1 + 1e-12)) & (walked >= travelled - corners * 0.3 - 1e-3 * travelled))
    assert_allclose(np.sum(speed, 0) * step, travelled, atol=corners * 0.3)


@pytest.mark.parametrize("law", MOVING)
def test_speeds_are_as_set(rng, law):
    speed = distances(law.start(rng, places(rng, 300), RING).at(40.0)[1])
    moving = speed > 0
    assert np.all((speed[moving] >= law.slowest * (1 - 1e-12)) & (speed[moving] <= law.fastest * (1 + 1e-12)))
    assert np.all(moving) or law.pause > 0


@pytest.mark.parametrize("law", BOTH)
def test_the_steady_state_of_each_law_is_in_the_ring_and_its_way_begins_at_time_zero(rng, law):
    motion = law.settled(rng, 200, RING)
    for time in (0.0, 1.0, 500.0):
        far = distances(motion.at(time)[0])
        assert np.all((far >= RING[0] * (1 - 1e-9)) & (far <= RING[1] * (1 + 1e-9)))
    assert_array_equal(motion.at(0.0)[2], 0)


@pytest.mark.parametrize("law", [Still(), Straight()])
def test_laws_that_keep_areas_are_settled_uniformly_drawn_as_a_cell_draws(law):
    far = distances(law.settled(np.random.default_rng(4), 3000, RING).at(0.0)[0])
    assert_allclose(far, np.sqrt(np.random.default_rng(4).uniform(RING[0]**2, RING[1]**2, 3000)), rtol=1e-13)
    assert kstest(far**2, "uniform", args=(RING[0]**2, RING[1]**2 - RING[0]**2)).pvalue > 1e-3


def test_still_devices_stand(rng):
    motion = Still().start(rng, [[20.0, 0.0], [0.0, -30.0]], RING)
    for time in (0.0, 1e6):
        position, velocity, travelled = motion.at(time)
        assert_array_equal(position, [[20, 0], [0, -30]])
        assert not velocity.any()
        assert not travelled.any()


def line(place, direction, ring, speed=1.0):
    return Reflected(ring, np.array([place], float), np.array([direction], float), np.array([speed]))


def test_a_line_through_the_middle_goes_to_and_fro_between_the_mirrors():
    """From 3 outwards at 2 m/s between 1 and 5: at 5 after 1 s, back at 3 after 2 s, at 1 after 3 s, at 5 after 5 s."""
    motion = line([3, 0], 0.0, (1.0, 5.0), speed=2.0)
    for time, x, v in [(0.5, 4, 2), (1.5, 4, -2), (2, 3, -2), (2.5, 2, -2), (3.5, 2, 2), (4.5, 4, 2), (5.5, 4, -2), (32.5, 4, 2)]:
        position, velocity, travelled = motion.at(time)
        assert_allclose(position, [[x, 0]], atol=1e-12)
        assert_allclose(velocity, [[v, 0]], atol=1e-12)
        assert_allclose(travelled, [2 * time])


def test_a_line_that_passes_the_inner_circle_runs_around_a_square():
    """In the unit circle, from a corner towards the next: corner after corner, every sqrt(2), and the middles of the sides."""
    motion = line([1, 0], 0.75 * np.pi, (0.1, 1.0))
    for corner, place in enumerate([(1, 0), (0, 1), (-1, 0), (0, -1), (1, 0)]):
        assert_allclose(motion.at(corner * np.sqrt(2))[0], [place], atol=1e-12)
    assert_allclose(motion.at(np.sqrt(0.5))[0], [[0.5, 0.5]], atol=1e-12)
    assert_allclose(motion.at(np.sqrt(0.5))[1], [[-np.sqrt(0.5), np.sqrt(0.5)]], atol=1e-12)
    clockwise = line([1, 0], -0.75 * np.pi, (0.1, 1.0))
    assert_allclose(clockwise.at(np.sqrt(2))[0], [[0, -1]], atol=1e-12)


def test_reflections_agree_with_ones_that_are_followed_one_by_one(rng):
    """The angle of incidence is that of reflection: v - 2 (v.n) n at the next circle that the line meets."""
    ring = (4.0, 9.0)
    start, angle = places(rng, 30, ring), rng.uniform(0, 2 * np.pi, 30)
    motion = Reflected(ring, start, angle, np.ones(30))
    for k in range(30):
        place, heading, left = start[k], np.array([np.cos(angle[k]), np.sin(angle[k])]), 100.0
        while True:
            along, square = place @ heading, place @ place
            ways = [-along + sign * np.sqrt(root) for radius, sign in ((4.0, -1), (9.0, 1))
                    if (root := along**2 - square + radius**2) > 0]
            step = min(way for way in ways if way > 1e-9)
            if step > left:
                break
            place, left = place + step * heading, left - step
            normal = place / np.hypot(*place)
            heading = heading - 2 * (heading @ normal) * normal
        position, velocity, _ = motion.at(100.0)
        assert_allclose(position[k], place + left * heading, atol=1e-8)
        assert_allclose(velocity[k], heading, atol=1e-8)


def test_a_line_along_the_edge_stays_on_it():
    motion = line([5, 0], np.pi / 2, (1.0, 5.0))
    for time in (1.0, 10.0):
        assert_allclose(motion.at(time)[0], [[5 * np.cos(time / 5), 5 * np.sin(time / 5)]], atol=1e-6)


@pytest.mark.parametrize("time", [0.0, 7.0, 1234.5])
def test_straight_lines_keep_the_uniform_density(rng, time):
    ring = (50.0, 100.0)
    position, velocity, _ = Straight(1.0, 9.0).start(rng, places(rng, 5000, ring), ring).at(time)
    assert kstest(distances(position)**2, "uniform", args=(ring[0]**2, ring[1]**2 - ring[0]**2)).pvalue > 1e-3
    assert kstest(np.arctan2(velocity[:, 1], velocity[:, 0]), "uniform", args=(-np.pi, 2 * np.pi)).pvalue > 1e-3


def test_a_way_around_the_middle_is_tangent_arc_tangent():
    """From (-2, 0) to (2, 0) around the unit circle: two tangents of sqrt(3), and an arc of pi - 2 acos(1/2) = pi / 3."""
    start, end = np.array([[-2.0, 0.0]]), np.array([[2.0, 0.0]])
    length = way_length(start, end, 1.0)
    assert_allclose(length, 2 * np.sqrt(3) + np.pi / 3, rtol=1e-14)
    for gone, place in [(0.0, start), (np.sqrt(3), [[-0.5, -np.sqrt(0.75)]]), (length[0] / 2, [[0, -1]]), (length[0], end)]:
        found = way_at(start, end, 1.0, np.array([gone]))[0]
        assert_allclose(np.abs(found), np.abs(place), atol=1e-12)              # both sides are equally long
        assert_allclose(found[0, 0], np.asarray(place)[0, 0], atol=1e-12)


def test_a_way_that_misses_the_middle_is_straight(rng):
    assert_allclose(way_length(np.array([-2.0, 1.001]), np.array([2.0, 1.001]), 1.0), 4.0, rtol=1e-14)
    assert_allclose(way_length(np.array([2.0, 0.0]), np.array([5.0, 0.0]), 1.0), 3.0, rtol=1e-14)
    place, heading = way_at(np.array([-2.0, 1.001]), np.array([2.0, 1.001]), 1.0, np.array(1.0))
    assert_allclose(place, [-1.0, 1.001], rtol=1e-14)
    assert_allclose(heading, [1.0, 0.0], atol=1e-14)


def test_a_way_is_no_longer_than_any_detour_and_ends_at_its_ends(rng):
    """A detour: by one more place, if both lines keep clear of the circle; and no way is shorter than the line."""
    start, end = places(rng, 500, (1.0, 3.0)), places(rng, 500, (1.0, 3.0))
    length, least = way_length(start, end, 1.0), np.full(500, np.inf)
    for by in rng.uniform(-4, 4, (400, 2)):
        clear = np.minimum(clearance(start, by), clearance(end, by)) >= 1
        least = np.where(clear, np.minimum(least, distances(start - by) + distances(end - by)), least)
    assert np.all(length >= distances(end - start) * (1 - 1e-12))
    assert np.all(length <= least * (1 + 1e-12))
    assert np.mean(least < 1.05 * length) > 0.5                       # the detours come close
    for gone, place in ((0 * length, start), (length, end)):
        assert_allclose(way_at(start, end, 1.0, gone)[0], place, atol=1e-9)


def clearance(places, by):
    """Distance of the lines from ``places`` to one place from the origin."""
    line = by - places
    share = np.clip(-np.sum(places * line, -1) / np.sum(line**2, -1), 0, 1)
    return distances(places + share[:, None] * line)


def waypoint_density():
    """Distribution function of the distance in the unit disc, of the steady state without pauses.

    The density of the place is in proportion to (1 - r^2) times the integral of sqrt(1 - r^2 cos^2 a) over a in [0, pi]
    (Hyytia, Lassila, Virtamo, "Spatial node distribution of the random waypoint mobility model", 2006).
    """
    r = np.linspace(0, 1, 2001)
    a = (np.arange(400) + 0.5) * np.pi / 400
    density = r * (1 - r**2) * np.mean(np.sqrt(1 - r[:, None]**2 * np.cos(a)**2), 1)
    total = np.concatenate([[0], np.cumsum((density[1:] + density[:-1]) / 2)])
    return r, total / total[-1]


DISC = (1e-7, 1.0)


@pytest.mark.parametrize("time", [0.0, 0.7, 25.0])
def test_settled_waypoints_have_the_known_density_at_all_times(rng, time):
    far = distances(RandomWaypoint(0.5, 1.5).settled(rng, 4000, DISC).at(time)[0])
    r, total = waypoint_density()
    assert kstest(far, lambda x: np.interp(x, r, total)).pvalue > 1e-3
    assert kstest(far**2, "uniform").pvalue < 1e-9                    # and that is not the uniform one: the middle is denser
    assert np.mean(far < 0.5) > 0.3


def test_the_mean_distance_of_settled_waypoints_is_that_of_the_density(rng):
    r, total = waypoint_density()
    mean, square = (np.sum((r[1:]**n + r[:-1]**n) / 2 * np.diff(total)) for n in (1, 2))
    far = distances(RandomWaypoint(1.0, 1.0).settled(rng, 4000, DISC).at(3.0)[0])
    assert abs(far.mean() - mean) < 4 * np.sqrt((square - mean**2) / 4000)
    assert mean < 2 / 3                                               # of a uniform density


@pytest.mark.parametrize("time", [0.0, 1.3, 40.0])
def test_the_mean_speed_does_not_decay(rng, time):
    """(b - a) / ln(b / a) at all times, and not (a + b) / 2: slow legs last longer."""
    a, b, devices = 0.1, 2.0, 4000
    speed = distances(RandomWaypoint(a, b).settled(rng, devices, DISC).at(time)[1])
    mean, square = (b - a) / np.log(b / a), (b**2 - a**2) / 2 / np.log(b / a)
    assert abs(speed.mean() - mean) < 4 * np.sqrt((square - mean**2) / devices)
    assert mean < 0.65 * (a + b) / 2


def test_devices_from_elsewhere_begin_with_the_speeds_of_the_steady_state(rng):
    a, b = 0.1, 2.0
    speed = distances(RandomWaypoint(a, b).start(rng, places(rng, 3000, DISC), DISC).at(0.0)[1])
    assert kstest(np.log(speed), "uniform", args=(np.log(a), np.log(b / a))).pvalue > 1e-3


@pytest.mark.parametrize("time", [0.0, 2.5, 60.0])
def test_the_share_of_pauses_is_pause_over_the_mean_cycle(rng, time):
    """A leg of the unit disc is 128 / (45 pi) long in the mean, and takes that times ln(b / a) / (b - a)."""
    a, b, pause, devices = 0.5, 1.5, 0.8, 4000
    moving = 128 / (45 * np.pi) * np.log(b / a) / (b - a)
    share = pause / (pause + moving)
    position, velocity, _ = RandomWaypoint(a, b, pause).settled(rng, devices, DISC).at(time)
    pausing = distances(velocity) == 0
    assert abs(np.mean(pausing) - share) < 4 * np.sqrt(share * (1 - share) / devices)
    assert kstest(distances(position[pausing])**2, "uniform").pvalue > 1e-3       # who pauses is at a target


def test_the_mean_leg_of_a_disc_is_known(rng):
    start, end = places(rng, 20_000, DISC), places(rng, 20_000, DISC)
    length = way_length(start, end, DISC[0])
    assert abs(length.mean() - 128 / (45 * np.pi)) < 4 * length.std() / np.sqrt(20_000)


def test_settled_waypoints_around_a_wide_middle_do_not_drift(rng):
    """No theory for the ring: the distances at time 0 and late are from one distribution, of independent devices."""
    law, ring = RandomWaypoint(1.0, 3.0, pause=0.2), (0.5, 1.0)
    early, late = law.settled(rng, 3000, ring).at(0.0)[0], law.settled(rng, 3000, ring).at(33.0)[0]
    assert kstest(distances(early), distances(late)).pvalue > 1e-3
    far = distances(law.settled(rng, 500, ring).at(5.0)[0])
    assert np.all((far >= 0.5 * (1 - 1e-9)) & (far <= 1 + 1e-9))


def test_legs_follow_each_other_by_hand():
    """3 m along one side at 1.5 m/s, 2 s; a pause of 1 s; then the next leg begins where the first ended."""
    first = Legs(np.array([[1.0, 1.0]]), np.array([[1.0, 4.0]]), np.array([1.5]))
    motion = Waypoints(RandomWaypoint(1.0, 2.0, 1.0), (0.1, 10.0), np.array([3]), first, np.zeros(1))
    for time, y, v, gone in [(0.0, 1, 1.5, 0), (1.0, 2.5, 1.5, 1.5), (2.0, 4, 0, 3), (2.9, 4, 0, 3)]:
        position, velocity, travelled = motion.at(time)
        assert_allclose(position, [[1, y]], atol=1e-12)
        assert_allclose(velocity, [[0, v]], atol=1e-12)
        assert_allclose(travelled, [gone], atol=1e-12)
    position, velocity, travelled = motion.at(3.01)
    speed = distances(velocity)[0]
    assert 1 <= speed <= 2
    assert_allclose(position, [[1, 4]] + 0.01 * velocity, atol=1e-9)
    assert_allclose(travelled, [3 + 0.01 * speed], rtol=1e-9)


def test_a_way_counts_from_time_zero_also_of_a_leg_under_way(rng):
    motion = RandomWaypoint(1.0, 2.0, 0.5).settled(rng, 50, DISC)
    assert_array_equal(motion.at(0.0)[2], 0)
    assert np.all(motion.at(100.0)[2] <= 200)


@pytest.mark.parametrize("law", BOTH)
def test_a_motion_can_be_put_away_and_taken_up_again(rng, law):
    motion = law.start(rng, places(rng, 4), RING)
    before = pickle.loads(pickle.dumps(motion))
    assert_array_equal(motion.at(321.0)[0], before.at(321.0)[0])


@pytest.mark.parametrize("law", BOTH)
def test_nobody_is_no_problem(rng, law):
    position, velocity, travelled = law.start(rng, np.zeros((0, 2)), RING).at(9.0)
    assert position.shape == velocity.shape == (0, 2)
    assert travelled.shape == (0,)


@pytest.mark.parametrize(("make", "sentence"), [
    (lambda: Straight(-1.0, 1.0), r"0 <= slowest <= fastest, finite \[m/s\], got -1.0 and 1.0"),
    (lambda: Straight(2.0, 1.0), r"0 <= slowest <= fastest, finite \[m/s\], got 2.0 and 1.0"),
    (lambda: RandomWaypoint(0.0, 1.0), r"0 < slowest <= fastest.* mean speed would fall to nothing.* got 0.0 and 1.0"),
    (lambda: RandomWaypoint(1.0, np.inf), r"finite \[m/s\]"),
    (lambda: RandomWaypoint(1.0, 2.0, pause=-1.0), r"pause must be zero or more and finite \[s\], got -1.0"),
])
def test_a_law_that_cannot_be_gets_a_sentence(make, sentence):
    with pytest.raises(ValueError, match=sentence):
        make()


@pytest.mark.parametrize("law", BOTH)
@pytest.mark.parametrize(("position", "ring", "sentence"), [
    ([[5.0, 0.0]], RING, r"position must be 10.0 to 250.0 m from the server at the origin, got 5.0 m of device 0"),
    ([[20.0, 0.0], [300.0, 0.0]], RING, r"got 300.0 m of device 1"),
    ([[np.nan, 0.0]], RING, r"got nan m of device 0"),
    ([20.0, 0.0], RING, r"position must be of the shape \(devices, 2\) \[m\], got \(2,\)"),
    ([[20.0, 0.0]], (250.0, 10.0), r"0 < nearest < radius \[m\], got 250.0 and 10.0"),
    ([[20.0, 0.0]], (0.0, 50.0), r"0 < nearest < radius \[m\]"),
])
def test_a_start_that_cannot_be_gets_a_sentence(rng, law, position, ring, sentence):
    with pytest.raises(ValueError, match=sentence):
        law.start(rng, position, ring)


@pytest.mark.parametrize("law", BOTH)
@pytest.mark.parametrize("time", [-1.0, np.nan, np.inf])
def test_a_time_that_cannot_be_gets_a_sentence(rng, law, time):
    with pytest.raises(ValueError, match=r"time must be zero or more and finite \[s\], got"):
        law.start(rng, places(rng, 2), RING).at(time)
