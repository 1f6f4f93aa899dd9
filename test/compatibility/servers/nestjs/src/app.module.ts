import { Body, Controller, Get, Injectable, Module, type OnApplicationShutdown, Param, Post } from '@nestjs/common'
import { MessagePattern } from '@nestjs/microservices'

@Injectable()
export class Sums implements OnApplicationShutdown {
  add(numbers: readonly number[]): number {
    return numbers.reduce((sum, number) => sum + number, 0)
  }

  onApplicationShutdown(signal?: string): void {
    console.log(`clean-up done ${signal}`)
  }
}

@Controller()
export class AppController {
  constructor(private readonly sums: Sums) {}

  @Get()
  hello(): string {
    return 'hello'
  }

  @Get('greetings/:name')
  greet(@Param('name') name: string): { greeting: string } {
    return { greeting: `hello ${name}` }
  }

  @Post('sums')
  sum(@Body() { numbers }: { numbers: number[] }): { sum: number } {
    return { sum: this.sums.add(numbers) }
  }

  @Get('spin')
  spin(): string {
    for (const end = Date.now() + 20_000; Date.now() < end; );
    return 'spun'
  }

  @MessagePattern('sum')
  sumOfMessage(numbers: number[]): number {
    return this.sums.add(numbers)
  }
}

@Module({ controllers: [AppController], providers: [Sums] })
export class AppModule {}
