from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('sync_app', '0007_lists_of_thousands'),
    ]

    operations = [
        migrations.AddField(
            model_name='checkround',
            name='late',
            field=models.PositiveIntegerField(default=0),
        ),
        migrations.CreateModel(
            name='CheckClock',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('until', models.DateTimeField()),
            ],
            options={
                'constraints': [models.CheckConstraint(condition=models.Q(('pk', 1)), name='check_clock_once')],
            },
        ),
    ]
