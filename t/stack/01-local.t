# With the local transport, httpd and PostgreSQL are enough.
use v5.32;
use warnings;
use Test::More;
use TaskEvents::Stack;

bring_up('local');

my $user = new_user('local');
my $created = api($user, POST => 'tasks', {
    title              => 'Water the plants',
    due_date           => '2031-05-04T09:00:00Z',
    is_recurring       => json->true,
    recurring_interval => 'daily',
});
is $created->{status}, 201, 'a task is created';

my $done = api($user, POST => "tasks/$created->{json}{id}/complete");
is $done->{status}, 200, 'and completed';

my $two = eventually 60, sub { my @t = tasks($user); @t == 2 && \@t };
ok $two, 'its next occurrence appears, without any sidecar';
like $two->[1]{due_date}, qr/^2031-05-05T09:00:00/, 'due a day later';
ok !$two->[1]{completed}, 'and open';

for my $route (qw(tasks reminders dead-letters)) {
    is deliver($route, { specversion => '1.0' })->{status}, 404,
      "nobody can deliver $route here";
}

like TaskEvents::Stack::dev('status'), qr/^$_ +stopped/m, "$_ does not run"
  for qw(kafka scheduler daprd);

done_testing;
